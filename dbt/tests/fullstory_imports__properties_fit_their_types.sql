{{ config(severity='warn', enabled=is_loaded('imported_events') or is_loaded('imported_users')) }}

{%- set query %}
with found as (

    select * from {{ ref('fullstory_imports__properties') }}

),

listed as (

    {{ listed_properties() }}

)

select
    'The property `' || found.property || '` of the ' || found.kind || ' `' || found.name || '` is listed as ' || listed.type
    || ', but has values of the type ' || found.type || ' (job ' || found.example_job_id || '). These are null in the model.' as problem
from found
inner join listed
    on listed.kind = found.kind and listed.name = found.name and listed.property = found.property
where listed.type not in ('none', 'str', 'json')
    and found.type not in ('none', 'null', listed.type)
    and not (listed.type = 'real' and found.type = 'int')
    and not (listed.type = 'reals' and found.type = 'ints')
    and not (listed.type = 'strs' and found.type in ('dates', 'ints', 'reals', 'bools'))
    and not (listed.type in ('strs', 'ints', 'reals', 'bools', 'dates') and found.type = 'nulls')
{%- endset %}

{{ naming_problems(query) }}
