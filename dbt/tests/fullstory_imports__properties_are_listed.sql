{#- Tells of new events and properties, once the project has models of events or users. -#}
{{ config(severity='warn', enabled=is_loaded('imported_events') or is_loaded('imported_users')) }}

{%- set query %}
with found as (

    select distinct kind, name, property from {{ ref('fullstory_imports__properties') }}

),

listed as (

    {{ listed_properties() }}

),

models as (

    select kind, name, count(*) as number_of_columns
    from listed
    group by kind, name

)

select distinct
    case
        when models.kind is null then 'No model has the ' || found.kind || ' `' || found.name || '`.'
        else 'The model of the ' || found.kind || ' `' || found.name || '` lacks the property `' || found.property || '`.'
    end || ' Run `propose`.' as problem
from found
left join models on models.kind = found.kind and models.name = found.name
left join listed on listed.kind = found.kind and listed.name = found.name and listed.property = found.property
where listed.kind is null
    and coalesce(models.number_of_columns, 0) <= 1000 -- `propose` adds no more
    and (found.name <> '' or found.kind = 'users')
    and found.kind in (select kind from listed)
{%- endset %}

{{ naming_problems(query) }}
