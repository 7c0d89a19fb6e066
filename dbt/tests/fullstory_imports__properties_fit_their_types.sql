{#- Finds values that are null in their model. -#}
{{ config(severity='warn') }}

with found as (

    select * from {{ ref('fullstory_imports__properties') }}

),

listed as (

    {{ listed_properties() }}

)

select found.kind, found.name, found.property, listed.type as type_in_model, found.type as type_found, found.example_job_id
from found
inner join listed
    on listed.kind = found.kind and listed.name = found.name and listed.property = found.property
where found.type not in ('none', 'null', listed.type)
    and listed.type not in ('none', 'str', 'json')
    and not (listed.type = 'real' and found.type = 'int')
    and not (listed.type = 'reals' and found.type = 'ints')
    and not (listed.type = 'strs' and found.type in ('dates', 'ints', 'reals', 'bools'))
    and not (listed.type in ('strs', 'ints', 'reals', 'bools', 'dates') and found.type = 'nulls')
