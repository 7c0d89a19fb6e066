{#- A sentence for each property whose type changes or is not the listed one. -#}
{%- macro misfits() -%}
    {%- set sentences = [] -%}
    {%- set events = dbt_fullstory_imports.property_types() -%}
    {%- for name, properties in events.items() -%}
        {%- for property, types in properties.items() if types.is_changing -%}
            {%- do sentences.append(
                dbt_fullstory_imports.property_sentence(name, property, types)
                ~ ' have different types. Use `str` for it.'
            ) -%}
        {%- endfor -%}
    {%- endfor -%}
    {%- for node in graph.nodes.values() if node.config.meta and 'fullstory_event' in node.config.meta -%}
        {%- set name = node.config.meta['fullstory_event'] -%}
        {%- for property, type in node.config.meta['fullstory_properties'].items() -%}
            {%- set types = events.get(name, {}).get(property, {'jobs': {}}) -%}
            {%- set common = dbt_fullstory_imports.common_type(types.jobs.keys() | list + [type]) -%}
            {%- if type not in ('str', 'json', common) -%}
                {%- do sentences.append(
                    dbt_fullstory_imports.property_sentence(name, property, types)
                    ~ ' do not all fit the type `' ~ type ~ '` in the model ' ~ node.name
                    ~ ', which has null for the others. Use `' ~ common ~ '`.'
                ) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endfor -%}
    {{ return(sentences) }}
{%- endmacro -%}

{%- macro property_sentence(name, property, types) -%}
    {%- set found = [] -%}
    {%- for type, job_id in types.jobs.items() if type not in ('null', 'nulls') -%}
        {%- do found.append(type ~ ' in job ' ~ job_id) -%}
    {%- endfor -%}
    {{ return('The values of the property `' ~ property ~ '` of the event `' ~ name ~ '` (' ~ (found | join(', ')) ~ ')') }}
{%- endmacro -%}
